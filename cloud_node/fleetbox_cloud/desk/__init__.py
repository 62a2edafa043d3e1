"""A site's desk: orders brought down for its robots, and policies rolled out to them in stages."""
