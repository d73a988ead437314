"""Whether transfer helps: rankings, trials, evaluation, adaptation."""
