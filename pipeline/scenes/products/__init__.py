"""What archives deliver: files of a folder or an archive become scenes."""
