"""What all parts of Sortline share: settings, errors, logs, command line, client, local servers."""

__version__ = "0.1.0"
