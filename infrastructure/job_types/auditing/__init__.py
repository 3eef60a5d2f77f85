"""The job types that prove histories, and make what is shown follow from them."""
