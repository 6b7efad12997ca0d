"""Old import paths of validation, loading and decorators; each delegates."""
