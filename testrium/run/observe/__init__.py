"""What units use while they live, and where they were when they hung."""
