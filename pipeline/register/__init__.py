"""Changes over years: the register, its states and its history."""
