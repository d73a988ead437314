"""Raw maps to a published run, its sample and its estimates."""
