"""People judge changes: forms, answers, precision, labels."""
