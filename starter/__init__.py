"""The making of the models that come with cmarr: it uses the library, no study uses it."""
