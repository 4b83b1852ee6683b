"""Errors that a user can act on: what was found, what was expected, what to do."""


class DecloudError(Exception):
    """Base of all errors with a message for the user; the command line ends with status 2."""


class ConfigError(DecloudError):
    """A setting, a layout or a JSON file that cannot be used."""


class SettingsError(ConfigError):
    """Values that a configuration class refuses.

    Attributes
    ----------
    problems
        Name of the field, empty for several together, and what is wrong with it.
    """

    def __init__(self, settings: str, problems: tuple[tuple[str, str], ...]) -> None:
        told = (f"{field}: {text}" if field else text for field, text in problems)
        super().__init__(f"{settings}: {'; '.join(told)}")
        self.problems = problems


class StorageError(DecloudError):
    """A bucket, folder or object that is missing, refused or unreachable."""


class AlreadyExistsError(StorageError):
    """A create-only write met an object that is already there."""


class OutputConflictError(DecloudError):
    """An output exists that was made from another configuration or other inputs."""


class ProductError(DecloudError):
    """A delivered product that is incomplete, ambiguous or unreadable."""


class UnusableProductError(ProductError):
    """A product that is not damaged and still of no use: a batch leaves it out and succeeds."""


class MissingBandError(ProductError):
    """A band that a product or a stack does not hold."""


class GridMismatchError(DecloudError):
    """Rasters that should share a grid and do not."""


class ShapeError(DecloudError):
    """An array whose shape is not the documented one."""


class NoSampleError(DecloudError):
    """A search or a data set that came out empty."""


class RecordError(DecloudError):
    """A record file that is damaged or cut short."""


class ModelFolderError(DecloudError):
    """A model folder without a usable network or contract."""
