"""A row of a table of other projects' coders, as ``python -m benchmarks.peers.measure`` writes them."""

ROW = {
    "peer": "coder", "setting": "step 1", "bytes": "120000", "counts": "file", "versions": "coder 1.0", "top1": "92.4",
    "unique_params": "1500", "entropy_bits": "4.5", "images_lost": "30", "images_gained": "20", "test_images": "10000",
    "model": "resnet20_conv", "dataset": "cifar10", "weights_sha256": "aa" * 32, "commit": "abcdef1",
    "chosen_at": "0.1 0.5",
}  # fmt: skip
