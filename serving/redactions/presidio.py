"""`presidio`: what `patterns` finds, and then names, places and whatever else Microsoft Presidio finds in English.

Presidio puts `<PERSON>`, `<LOCATION>`, ... in their place. Without its language model it would download one while a
gateway starts, so the model counts as a part that must be there.
"""

from importlib.util import find_spec

from serving.redaction import Redact
from tunegate_core.errors import ConfigError
from tunegate_core.redact import redact

LANGUAGE = "en"
PARTS = {
    "presidio_analyzer": "presidio-analyzer",
    "presidio_anonymizer": "presidio-anonymizer",
    "en_core_web_lg": "the spaCy model en_core_web_lg",  # the one that Presidio takes by itself
}


class Presidio:
    """See the module."""

    def check(self) -> None:
        """Raises ConfigError naming what is not installed."""
        missing = [name for module, name in PARTS.items() if find_spec(module) is None]
        if missing:
            raise ConfigError(
                f"records.redaction: presidio is not installed: {', '.join(missing)} missing; "
                "run pip install 'tunegate[presidio]' and python -m spacy download en_core_web_lg, or choose patterns"
            )

    def open(self) -> Redact:
        """Load the language model: seconds, and some 100 MB of memory."""
        from presidio_analyzer import AnalyzerEngine
        from presidio_anonymizer import AnonymizerEngine

        analyzer, anonymizer = AnalyzerEngine(), AnonymizerEngine()

        def anonymized(text: str) -> str:
            known = redact(text)
            found = analyzer.analyze(text=known, language=LANGUAGE)
            return str(anonymizer.anonymize(text=known, analyzer_results=found).text)

        return anonymized


PLUGIN = Presidio()
