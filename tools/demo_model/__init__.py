"""Training of the embedded demo model. The entry point is tools/train_demo_model.py."""
