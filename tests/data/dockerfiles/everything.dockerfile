# Syntax = docker/dockerfile:1
# ESCAPE=\

# a comment, and no directive any more
# escape=`
ARG BASE=busybox:1 EMPTY= QUOTED="two words"
FROM --platform=$BUILDPLATFORM ${BASE} AS First
	run   echo one \
  # a comment between
    && echo two   \

  && echo three
RUN ["echo", "é \u2603", "a\\b"]
RUN [ "not", json ]
RUN --mount=type=cache,target="/c d" --network=none -- --flag
ENV OLD value with  blanks
ENV A=1 B="two words" C=three\ words D='q"q'
LABEL "a.b"="x" c=
CMD
ENTRYPOINT []
EXPOSE 80/tcp   443
COPY --chown=a:b --exclude=*.md --exclude=x src1 src2 /dest/
ADD ["a b", "/c d/"]
HEALTHCHECK --interval=5s CMD ["/check", "-x"]
HEALTHCHECK NONE
ONBUILD RUN --network=none touch x
SHELL ["/bin/sh", "-ec"]
STOPSIGNAL SIGUSR1
USER me:us
VOLUME /a /b
VOLUME ["/c"]
WORKDIR /w with blanks
MAINTAINER Somebody <some@body>
RUN <<A cat - <<-"B"
one
A
	two
	B
COPY <<'x y' <<z /
$keep
x y
$expand
z
RUN echo "<<NOT" && cat <<REAL
# not a comment
REAL
RUN continues at the end \
