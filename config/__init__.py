"""Settings of the daemon and its tools: the only place that reads the environment and configuration files."""

from config.errors import SettingsError
from config.settings import Settings, load_settings

__all__ = ["Settings", "SettingsError", "load_settings"]
