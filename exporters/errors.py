"""Errors of the node exporter.

ExporterError
├── NoData          nothing to report here (no GPU, no PSI): not a failure
├── ReadError       a reading failed that should have worked
├── CatalogError    a collector emitted what the catalogue does not say: a defect of ours
├── SettingsError   flags or environment contradict each other or cannot be used
│   ├── ConfigFileError a configuration file cannot be used
│   └── WebConfigError  the web configuration file, or a file that it names, cannot be used
└── TooManyChecks   more passwords wait to be checked than should
"""


class ExporterError(Exception):
    """Base of the exporter's own errors."""


class NoData(ExporterError):
    """There is nothing to read on this machine; the message says what is missing."""


class ReadError(ExporterError):
    """A source that exists could not be read; the message says which and why."""


class CatalogError(ExporterError):
    """A sample does not fit the catalogue: unknown family, wrong number of labels, duplicate, or not finite."""


class SettingsError(ExporterError):
    """The settings cannot be used; the message names the flag and what to change."""


class ConfigFileError(SettingsError):
    """What a configuration file says cannot be used; the message has one line a finding, with file, line and mend."""


class WebConfigError(SettingsError):
    """The web configuration cannot be used; the message has one line a finding, with file, line and mend."""


class TooManyChecks(ExporterError):
    """More passwords wait to be checked than should; somebody may be guessing."""
