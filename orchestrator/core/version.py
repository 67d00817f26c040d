"""The version of the app: the one place that has it. A release changes it together with CHANGELOG.md."""

#: As in Semantic Versioning; ``.dev0`` behind it says that this version is not released yet.
VERSION = "0.1.0"
