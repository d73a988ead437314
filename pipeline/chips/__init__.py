"""Collections of chips: pairs of small pictures with their labels, as benchmarks have them."""
