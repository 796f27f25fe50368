"""The networks the methods are composed of: each takes plain keyword arguments and knows no method."""
