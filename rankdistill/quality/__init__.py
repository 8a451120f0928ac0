"""What can be said about a build: counts, previews."""
