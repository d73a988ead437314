"""What to label next: methods asked, blocks chosen, a folder given out, answers taken in."""
