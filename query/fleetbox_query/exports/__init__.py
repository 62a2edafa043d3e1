"""Take streams home as files: whole or not at all, resumed where they stopped, with a manifest of what they hold."""
