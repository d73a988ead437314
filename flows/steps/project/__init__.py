"""A project's folders, its scenes and its plan."""
