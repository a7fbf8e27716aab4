# escape=`
FROM mcr.example.com/windows/nanoserver:ltsc2022
WORKDIR c:\app
COPY app.exe c:\app\
RUN powershell -Command `
    $x = 1; `
    Write-Host $x
ENV NAME=c:\app\ OTHER="a b"
CMD ["c:\\app\\app.exe"]
