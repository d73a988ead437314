"""Collections of chips: checked, learnt from and judged."""
