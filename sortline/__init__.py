"""What all parts of Sortline share: settings, errors, logs, queue, files, command line, client, local servers."""

__version__ = "0.1.0"
