"""The default face model: SMIRK's encoders trained on synthetic and real faces of the open basis."""
