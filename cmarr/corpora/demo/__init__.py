"""The bundled demo corpus: ten drawn people with synthetic voices, made from a seed."""
