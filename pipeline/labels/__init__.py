"""What people know of the ground: label values, splits, regions."""
