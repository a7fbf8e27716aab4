FROM busybox AS files
RUN <<EOT
  mkdir -p /made
  echo "FROM nothing" > /made/file
EOT
COPY <<first.txt <<"second.txt" /etc/made/
one ${HOME}
first.txt
two ${HOME}
second.txt
RUN python3 <<-PY > /out
	print("tabs go")
	PY
ADD <<EOT /etc/added
# no comment of ours
EOT
RUN echo "<<NOTHING" && echo done
FROM files
RUN cat /out
