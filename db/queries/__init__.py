"""Every query of Sortline, by the table it is about."""
