"""Show streams as they come in, or again at their own pace: to Foxglove, a broker, a recorder or the terminal."""
