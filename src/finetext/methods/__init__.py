"""The methods, one file each, from cheap to expensive."""
