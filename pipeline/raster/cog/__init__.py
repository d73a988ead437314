"""Cloud-optimised GeoTIFFs from pixels in memory: blocks are compressed once, overviews beside them, and then only moved."""
