"""Questions that people act on, each in a script of a page that imports only the package."""
