"""The miniature corpora get a name to be imported by, as worker processes and other folders need one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
