
   # a comment that is indented
   FROM   busybox   AS   base   
	RUN	tabs	everywhere
ARG A B=2 C="three four" D='five' E=
ENV A=$A B="${B:-x} y" C=a\ b D='single $quoted' E=
LABEL "quoted key"=value other.key=2
LABEL multi.line="one\
 two"
COPY --chmod=0644 --link a* b?/[c-d] e/
COPY --parents --exclude=*.md ./x/./y /z/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/a.tar.gz /a/
USER ${USER:-1000}:1000
STOPSIGNAL 9
HEALTHCHECK NONE
RUN ["/bin/sh", "-c", "echo \"an exec form\""]
RUN [ -e /etc/passwd ] && echo a shell form
ENTRYPOINT exec top -b
CMD []
FROM base
FROM 0
