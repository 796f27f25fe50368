"""A trained model behind HTTP: what a request may hold, MLflow's model of it, and a server of one's own."""
