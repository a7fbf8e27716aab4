FROM debian:bookworm-slim

# add our user and group first, to make sure their ids are assigned consistently
RUN groupadd -r -g 999 server && useradd -r -g server -u 999 server

ENV	PREFIX	/usr/local/server
ENV PATH $PREFIX/bin:$PATH
ENV GREETING hello   there
RUN mkdir -p "$PREFIX" \
	&& chown server:server "$PREFIX"
WORKDIR $PREFIX

RUN set -eux; \
	savedAptMark="$(apt-mark showmanual)"; \
	apt-get update; \
	apt-get install -y --no-install-recommends \
		bzip2 \
# a comment at the line's beginning, in the middle of a command
		ca-certificates \
	; \
	rm -rf /var/lib/apt/lists/*; \
	\
	apt-mark auto '.*' > /dev/null; \
	[ -z "$savedAptMark" ] || apt-mark manual $savedAptMark

VOLUME ["/var/lib/server", "/etc/server"]
VOLUME /var/log/server /run/server
COPY ["docker-entrypoint.sh", "/usr/local/bin/"]
ADD --chmod=755 https://example.org/tool.sh /usr/local/bin/tool
ONBUILD ADD . /app/src
ONBUILD RUN make -C /app/src
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
MAINTAINER somebody <somebody@example.org>
EXPOSE 80
EXPOSE 8000-8002
CMD server-foreground -D "$PREFIX"
