"""Take episodes home as a LeRobot v3.0 dataset: frames at a constant rate, made of streams as lerobot.toml says."""
