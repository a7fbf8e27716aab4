# syntax=docker/dockerfile:1
ARG NODE=20
FROM --platform=$BUILDPLATFORM node:${NODE}-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev

FROM node:${NODE}-bookworm-slim AS build
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY . .
RUN npm run build && \
    # The sources are of no use in the image.
    rm -rf src \

    && ls dist

FROM node:${NODE}-bookworm-slim
ENV NODE_ENV=production PORT=3000
LABEL org.opencontainers.image.title="A service" \
      org.opencontainers.image.description="with a label whose \"quotes\" are its own" \
      maintainer='somebody'
COPY --chown=node:node --from=build /app /app
USER node
EXPOSE 3000/tcp 9229
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["node", "health.js"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--enable-source-maps"]
CMD ["dist/main.js"]
