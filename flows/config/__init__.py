"""The configuration: typed at the border, frozen after."""
