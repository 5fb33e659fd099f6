"""Files of samples in their formats, and the kinds of dataset that they make."""
