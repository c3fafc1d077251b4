"""Run the command line as ``python -m tongbao``."""

from tongbao.web.cli import main

main()
