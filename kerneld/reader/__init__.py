"""The process without rights: connection files and iopub messages into facts for the collector."""
