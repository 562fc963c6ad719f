"""What straight-through training quantises with: each file a quantiser of a flat vector of latent weights."""
