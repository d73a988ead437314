"""What was acquired: sensors, folders, catalogs, looking into files, choosing."""
