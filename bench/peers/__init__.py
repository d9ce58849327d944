"""Other ways to filter many images on the same machine, each as its users would set it up to be fast."""
