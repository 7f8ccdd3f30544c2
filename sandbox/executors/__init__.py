"""Other frameworks' interfaces to a sandbox, one file each, imported when first asked for."""
