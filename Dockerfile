# A server that answers about clips, on a CPU: docker build -t cmarr . && docker run --rm -p 127.0.0.1:5001:5001 cmarr
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/cmarr
ENV PATH=/opt/cmarr/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# First, and by itself: it is most of the image, and changes least.
RUN pip install --index-url https://download.pytorch.org/whl/cpu torch
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE params.yaml ./
# cmarr/study/defaults has links to params.yaml and to these.
COPY presets ./presets
COPY cmarr ./cmarr
RUN pip install '.[media,encoders,serve]'

FROM python:3.11-slim-bookworm
# OpenCV's wheel is linked to them.
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home cmarr
COPY --from=build /opt/cmarr /opt/cmarr
ENV PATH=/opt/cmarr/bin:$PATH PYTHONUNBUFFERED=1
USER cmarr
WORKDIR /home/cmarr
EXPOSE 5001
HEALTHCHECK --start-period=60s CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:5001/health', timeout=5)"
ENTRYPOINT ["cmarr"]
CMD ["serve", "--host", "0.0.0.0", "--port", "5001"]
