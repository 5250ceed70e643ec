"""Reports: tables that can be published, and plots that can be shown."""
