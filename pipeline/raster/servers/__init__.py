"""Servers: which may be asked, with which credentials, and questions that end."""
